use restante::prelude::*;

struct Counter(u64);

#[gen_server(name = "counter")]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }

}

fn main() {}
