use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[cast]
    fn show(&mut self, what: impl std::fmt::Display) {
        drop(what);
    }
}

fn main() {}
