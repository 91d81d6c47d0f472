use restante::prelude::*;

struct Counter<'a>(&'a str);

#[gen_server]
impl Counter<'_> {
    #[init]
    fn init() -> Self {
        Self("")
    }
}

fn main() {}
