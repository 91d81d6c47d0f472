use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[info]
    fn tick(&mut self, ctx: &mut Context<u64>) {
        drop(ctx);
    }
}

fn main() {}
