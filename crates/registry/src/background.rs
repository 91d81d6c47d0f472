//! The runtime of registries that are started outside of any: one thread, for all of them, started when it is first needed.

use std::sync::OnceLock;
use tokio::runtime::{Builder, Handle};

/// Its handle.
pub(crate) fn runtime() -> Handle {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .thread_name("restante-registry")
                .build()
                .expect("a runtime of one thread starts");
            let handle = runtime.handle().clone();
            std::thread::Builder::new()
                .name("restante-registry".into())
                // It is driven for as long as the process lives.
                .spawn(move || runtime.block_on(std::future::pending::<()>()))
                .expect("a thread starts");
            handle
        })
        .clone()
}
