use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl GenServer for Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call]
    fn get(&self) -> u64 {
        self.0
    }
}

fn main() {}
