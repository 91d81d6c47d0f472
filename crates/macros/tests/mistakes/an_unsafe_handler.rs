use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[cast]
    unsafe fn add(&mut self, n: u64) {
        self.0 += n;
    }

    #[cast]
    extern "C" fn subtract(&mut self, n: u64) {
        self.0 -= n;
    }
}

fn main() {}
