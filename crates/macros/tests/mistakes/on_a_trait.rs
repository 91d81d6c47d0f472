use restante::prelude::*;

#[gen_server]
trait Counter {
    #[call]
    fn get(&self) -> u64;
}

fn main() {}
