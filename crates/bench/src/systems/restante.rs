//! restante: not wired up yet, each workload is missing.
//!
//! To come: `impl System for Restante`, and a call of `run::<Restante>` in [`super::SystemName::measure`].

use crate::{measured::Measured, workload::Workload};

pub(crate) fn measure(_: Workload, _threads: usize, _ops: u64) -> Option<Measured> {
    None
}
