use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call]
    fn get(&self) -> u64 {
        self.0
    }

    #[call]
    fn get_(&self) -> u64 {
        self.0
    }
}

fn main() {}
