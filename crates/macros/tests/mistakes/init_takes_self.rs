use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init(&mut self, start: &u64) {
        self.0 = *start;
    }
}

fn main() {}
