use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call]
    fn all(&self) -> impl Iterator<Item = u64> {
        0..self.0
    }
}

fn main() {}
