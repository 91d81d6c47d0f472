use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[cast]
    fn rename(&mut self, name: std::borrow::Cow<'_, str>) {
        drop(name);
    }
}

fn main() {}
