use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[info]
    fn tick(&mut self, ctx: Context<Self>) {
        drop(ctx);
    }
}

fn main() {}
