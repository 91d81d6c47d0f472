use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[init]
    fn another() -> Self {
        Self(1)
    }
}

fn main() {}
