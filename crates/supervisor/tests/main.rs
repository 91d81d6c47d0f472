//! The supervisor's behaviour, through its public face.

mod task;
