//! The systems that are compared.

mod actix;
mod kameo;
mod name;
mod ractor;
mod restante;
mod restante_registry;
mod tokio;
mod xtra;

pub(crate) use name::SystemName;
