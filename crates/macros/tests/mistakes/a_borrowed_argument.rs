use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call]
    async fn find(&self, name: &str) -> bool {
        name.is_empty()
    }

    #[cast]
    fn list(&mut self, names: Option<&[String]>) {
        drop(names);
    }
}

fn main() {}
