use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init(start: u64) -> Self {
        Self(start)
    }
}

fn main() {}
