use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[cast]
    fn add(n: u64) {
        drop(n);
    }
}

fn main() {}
