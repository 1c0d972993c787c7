//! Which statements would walk the whole of a large table, for tests of those who own the statements. Where
//! `HOOKWARD_TEST_POSTGRES` named no cluster when they were built, they say so and look at nothing.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::dialect;
use crate::store::sql::Limits;

/// What must not be walked.
const LARGE: [&str; 8] = ["attempts", "bodies", "dedup", "deliveries", "events", "once", "outputs", "passed_over"];

/// Stands before each plan.
const NEXT: &str = "next";

/// A database without rows, removed at the end.
pub(in crate::store) struct Plans {
    cluster: String,
    name: String,
}

impl Plans {
    pub(in crate::store) fn open() -> Option<Self> {
        let Some(cluster) = option_env!("HOOKWARD_TEST_POSTGRES") else {
            eprintln!("skipped: `HOOKWARD_TEST_POSTGRES` names no PostgreSQL");
            return None;
        };
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let plans = Self {
            cluster: cluster.to_owned(),
            name: format!("plans_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
        };
        psql(&plans.cluster, &format!("create database {}", plans.name));
        drop(super::open(&super::Access::to(plans.address()), &Limits::default()).expect("a store"));
        Some(plans)
    }

    fn address(&self) -> String {
        format!("{} dbname={}", self.cluster, self.name)
    }

    /// What a statement says, a line for each row.
    pub(in crate::store) fn asked(&self, sql: &str) -> Vec<String> {
        psql(&self.address(), sql)
    }

    /// How each statement would go, whatever is asked for.
    pub(in crate::store) fn of(&self, statements: &[String]) -> Vec<Vec<String>> {
        let written: Vec<String> = statements.iter().map(|sql| dialect::write(sql).sql).collect();
        self.told("", &written)
    }

    /// The same of PostgreSQL's own statements, over a connection that is told something besides.
    pub(in crate::store) fn told(&self, told: &str, statements: &[String]) -> Vec<Vec<String>> {
        let mut script = format!("set enable_seqscan = off; set plan_cache_mode = force_generic_plan; {told};");
        for sql in statements {
            let places = (1..).take_while(|place| sql.contains(&format!("${place}"))).count();
            let nulls = match places {
                0 => String::new(),
                _ => format!("({})", vec!["null"; places].join(", ")),
            };
            script += &format!(
                "\n\\echo {NEXT}\nprepare one as {sql}; explain (costs off) execute one{nulls}; deallocate one;"
            );
        }
        let said = psql(&self.address(), &script);
        said.split(|line| line == NEXT).skip(1).map(<[String]>::to_vec).collect()
    }
}

/// Whether a plan walks a large table.
pub(in crate::store) fn walks(plan: &[String]) -> bool {
    plan.iter().any(|step| {
        let table = step.split("Seq Scan on ").nth(1).unwrap_or_default();
        LARGE.iter().any(|large| table.starts_with(large))
    })
}

impl Drop for Plans {
    fn drop(&mut self) {
        psql(&self.cluster, &format!("drop database {} with (force)", self.name));
    }
}

fn psql(address: &str, script: &str) -> Vec<String> {
    let mut psql = Command::new("psql")
        .args([address, "-qAt", "-v", "ON_ERROR_STOP=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql");
    let mut told = psql.stdin.take().expect("a pipe");
    // It answers while it is told: a pipe holds less than either.
    let said = std::thread::scope(|scope| {
        scope.spawn(move || told.write_all(script.as_bytes()).expect("psql reads"));
        psql.wait_with_output().expect("psql ends")
    });
    assert!(said.status.success(), "{script}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect()
}
