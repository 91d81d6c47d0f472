use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[calls]
    fn get(&self) -> u64 {
        self.0
    }

    #[handle_cast]
    fn add(&mut self, n: u64) {
        self.0 += n;
    }
}

fn main() {}
