use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[cast]
    fn show<T: std::fmt::Display>(&mut self, what: T) {
        drop(what);
    }
}

fn main() {}
