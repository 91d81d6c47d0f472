use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[info(every = "1s")]
    fn tick(&mut self, n: u64) {
        self.0 += n;
    }
}

fn main() {}
