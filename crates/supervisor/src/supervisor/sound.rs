//! Whether settings and specifications make sense, each by itself and together. Asked wherever either of them comes in.

use crate::backoff::Backoff;
use crate::child_options::{ChildId, ChildOptions};
use crate::child_spec::ChildSpec;
use crate::error::SpecError;
use crate::intensity::Intensity;
use crate::restart::Restart;
use crate::rules::Settings;
use crate::strategy::AutoShutdown;
use crate::tempo::can_trip;
use restante_core::quiet;
use std::time::Duration;

/// Whether a supervisor can be like this.
pub(crate) fn check_settings(settings: &Settings) -> Result<(), SpecError> {
    check_limit(settings.intensity, None)?;
    if settings.limit_given {
        check_pair(settings.intensity, settings.backoff, None)?;
    }
    Ok(())
}

/// Whether a child makes sense under such a supervisor.
pub(crate) fn check(spec: &ChildSpec, settings: &Settings) -> Result<(), SpecError> {
    match spec.child.unsound() {
        Some(error) => Err(error),
        None => check_options(&spec.id, &spec.options, settings),
    }
}

/// Whether a child with these options does.
pub(crate) fn check_options(
    id: &ChildId,
    options: &ChildOptions,
    settings: &Settings,
) -> Result<(), SpecError> {
    if options.significant && options.restart == Restart::Permanent {
        return Err(SpecError::SignificantPermanent(id.clone()));
    }
    if options.significant && (settings.auto_shutdown == AutoShutdown::Never || settings.dynamic) {
        return Err(SpecError::SignificantNever(id.clone()));
    }
    let backoff = options.backoff.unwrap_or(settings.backoff);
    if let Some(own) = options.intensity {
        check_limit(own, Some(id))?;
        check_pair(own, backoff, Some(id))?;
    }
    if settings.limit_given && options.backoff.is_some() {
        check_pair(settings.intensity, backoff, Some(id))?;
    }
    Ok(())
}

/// The longest pause of a back-off that was set, where nothing but the default limit counts, which is never exceeded so.
/// That is no reason to refuse it: a warning tells of it ([`warn_of`]).
pub(crate) fn too_slow(settings: &Settings, backoff: Backoff) -> Option<Duration> {
    let slow = !settings.limit_given && !can_trip(settings.intensity, backoff);
    if slow { backoff.longest() } else { None }
}

/// Tells of a back-off that is too slow: that of a child, or of all. (Not to be called under a lock: who listens is not ours.)
pub(crate) fn warn_of(supervisor: &str, child: Option<&ChildId>, pause: Duration) {
    quiet::run("a tracing subscriber", || {
        tracing::warn!(
            supervisor,
            child = child.map(tracing::field::display),
            ?pause,
            "with such pauses the default limit of restarts is never exceeded"
        );
    });
}

/// A limit has a period in which it counts.
fn check_limit(limit: Intensity, child: Option<&ChildId>) -> Result<(), SpecError> {
    if limit.is_void() { Err(SpecError::ZeroPeriod { child: child.cloned() }) } else { Ok(()) }
}

/// A limit and a back-off that were both set go together.
fn check_pair(limit: Intensity, backoff: Backoff, child: Option<&ChildId>) -> Result<(), SpecError> {
    match (limit.max, backoff.longest()) {
        (Some(max), Some(pause)) if !can_trip(limit, backoff) => {
            let (child, period) = (child.cloned(), limit.period);
            Err(SpecError::CannotTrip { child, max, period, pause })
        }
        _ => Ok(()),
    }
}
