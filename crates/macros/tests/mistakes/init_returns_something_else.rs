use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    async fn init(start: &u64) -> u64 {
        *start
    }
}

fn main() {}
