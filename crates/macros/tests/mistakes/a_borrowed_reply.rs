use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call]
    fn name(&self) -> &str {
        ""
    }

    #[call]
    fn state(&mut self) -> &mut u64 {
        &mut self.0
    }
}

fn main() {}
