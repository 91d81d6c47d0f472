//! What a program executes: all its instructions, and the locked ones among them.
//!
//! Callgrind tells how often each address was executed, objdump which addresses hold a locked instruction: one with the
//! prefix `lock`, or an `xchg` with memory, which needs none.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::{Failure, announce, succeed};
use crate::tools::{installed, root};

/// The addresses of an object's locked instructions.
type Locked = HashSet<u64>;

/// What one run executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Executed {
    pub(crate) instructions: u64,
    pub(crate) locked: u64,
}

/// Counts, and remembers the objects that it has taken apart.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    objects: HashMap<String, Locked>,
}

impl Counter {
    /// Whether locked instructions can be told here; without, they are counted as none.
    pub(crate) fn tells_locked() -> bool {
        cfg!(target_arch = "x86_64") && installed("objdump")
    }

    /// Runs `program` with `args` under callgrind, which writes its findings to `out`.
    pub(crate) fn count(&mut self, program: &Path, args: &[String], out: &Path) -> Result<Executed, Failure> {
        let mut valgrind = Command::new("valgrind");
        valgrind.current_dir(root());
        valgrind.args(["-q", "--tool=callgrind", "--dump-instr=yes", "--dump-line=no"]);
        valgrind.args(["--compress-pos=no", "--compress-strings=no"]);
        valgrind.arg(format!("--callgrind-out-file={}", out.display())).arg(program).args(args);
        announce(&valgrind);
        succeed(valgrind.status()?)?;
        self.sum(&String::from_utf8_lossy(&std::fs::read(out)?))
    }

    /// Adds up a profile: `ob=` names the object of the lines `address count` that follow; the line after a `calls=`
    /// repeats what the callee cost.
    fn sum(&mut self, profile: &str) -> Result<Executed, Failure> {
        let mut executed = Executed::default();
        let mut object = "";
        let mut lines = profile.lines();
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix("ob=") {
                object = name;
                if Self::tells_locked() && !self.objects.contains_key(name) {
                    self.objects.insert(name.to_owned(), disassemble(Path::new(name))?);
                }
            } else if line.starts_with("calls=") {
                lines.next();
            } else if let Some((address, count)) = cost(line) {
                executed.instructions += count;
                if self.objects.get(object).is_some_and(|locked| locked.contains(&address)) {
                    executed.locked += count;
                }
            }
        }
        if executed.instructions == 0 {
            return Err(Failure::Verdict("callgrind counted nothing".to_owned()));
        }
        Ok(executed)
    }
}

/// Reads `0x87ed0 4`.
fn cost(line: &str) -> Option<(u64, u64)> {
    let (address, count) = line.strip_prefix("0x")?.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, count.trim().parse().ok()?))
}

/// The locked instructions of an object; none of what is no file (`???`: code without a name).
fn disassemble(object: &Path) -> Result<Locked, Failure> {
    if !object.is_file() {
        return Ok(Locked::new());
    }
    let mut objdump = Command::new("objdump");
    objdump.args(["--disassemble", "--no-show-raw-insn"]).arg(object);
    let output = objdump.stderr(Stdio::inherit()).output()?;
    succeed(output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(locked).collect())
}

/// The address in a line of objdump's, `   3da39:\tlock decq (%rax)`, if the instruction is locked.
fn locked(line: &str) -> Option<u64> {
    let (address, instruction) = line.split_once(":\t")?;
    let with_memory = || instruction.starts_with("xchg") && instruction.contains('(');
    if !instruction.starts_with("lock ") && !with_memory() {
        return None;
    }
    u64::from_str_radix(address.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{Counter, Executed, cost, locked};

    #[test]
    fn locked_instructions_are_told_from_others() {
        assert_eq!(locked("   3da39:\tlock decq (%rax)"), Some(0x3_da39));
        assert_eq!(locked("   3da40:\txchg   %eax,0x10(%rdi)"), Some(0x3_da40));
        for other in
            ["   3da42:\txchg   %ax,%ax", "   3da44:\tmov    (%rax),%rcx", "000000000003d000 <lock >:", ""]
        {
            assert_eq!(locked(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_callee_costs_is_counted_once() -> Result<(), crate::report::Failure> {
        let profile = "positions: instr\nevents: Ir\n\nob=no such object\nfn=a\n0x10 3\ncalls=1 0x20\n0x14 70\n0x18 4\n";
        assert_eq!(Counter::default().sum(profile)?, Executed { instructions: 7, locked: 0 });
        assert_eq!(cost("0x10 3"), Some((16, 3)));
        assert_eq!(cost("fn=0x10 3"), None);
        Ok(())
    }
}
