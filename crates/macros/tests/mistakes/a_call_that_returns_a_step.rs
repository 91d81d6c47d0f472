use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call]
    fn get(&self) -> Step {
        Ok(Next::go())
    }

    #[call]
    fn stop_now(&mut self) -> Next {
        Next::stop()
    }
}

fn main() {}
