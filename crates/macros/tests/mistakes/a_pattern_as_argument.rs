use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[cast]
    fn add(&mut self, (a, b): (u64, u64)) {
        self.0 += a + b;
    }
}

fn main() {}
