use restante::prelude::*;

#[gen_server]
struct Counter(u64);

fn main() {}
