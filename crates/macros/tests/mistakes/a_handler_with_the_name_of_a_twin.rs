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

    #[cast]
    fn try_get(&mut self) {}

    #[cast]
    fn get_request(&mut self) {}
}

fn main() {}
