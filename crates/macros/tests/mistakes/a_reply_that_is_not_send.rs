use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call]
    fn shared(&self) -> std::rc::Rc<u64> {
        std::rc::Rc::new(self.0)
    }
}

fn main() {}
