use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call]
    fn name(&self) -> String {
        String::new()
    }

    #[cast]
    fn info(&mut self) {}
}

fn main() {}
