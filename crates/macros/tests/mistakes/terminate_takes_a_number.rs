use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[terminate]
    fn end(&mut self, code: u8) {
        drop(code);
    }

    #[timeout]
    fn idle(&mut self, after: u64) {
        drop(after);
    }
}

fn main() {}
