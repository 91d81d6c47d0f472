use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[info(every = 1)]
    fn tick(&mut self) {}

    #[info(each = "1s")]
    fn tock(&mut self) {}
}

fn main() {}
