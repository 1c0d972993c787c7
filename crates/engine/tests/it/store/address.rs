//! Addresses of databases: what is said of one that cannot be, and of one that leads nowhere.

use hookward_engine::store::postgres::{Access, check_address, open};
use hookward_engine::store::sql::Limits;

use super::postgres;

#[test]
fn an_address_that_cannot_be_is_told_what_is_wrong_with_it() {
    const FORM: &str = "an address is `postgres://user@host:port/database`";
    for (address, problem) in [
        ("", "it names no host"),
        ("postgres://", "it names no host"),
        ("dbname=hookward", "it names no host"),
        ("mysql://user@host/database", FORM),
        ("postgres://user@host:port/database", "`port`"),
        ("postgres://user:secret@host/database", "a password has no place in it"),
        ("postgres://user@host/database?sslmode=verify-full", "`sslmode` is `disable`, `prefer` or `require`"),
        ("postgres://user@host/database?nonsense=1", "`nonsense`"),
    ] {
        let told = check_address(address).expect_err(address);
        assert!(told.contains(problem), "{address}: {told}");
    }
    for address in
        ["postgres://user@host/database?sslmode=require", "host=/run/postgresql user=hookward", "hostaddr=::1"]
    {
        assert_eq!(check_address(address), Ok(()), "{address}");
    }
}

/// Why this address leads nowhere.
fn told(address: &str) -> String {
    open(&Access::to(address), &Limits::default()).expect_err(address).to_string()
}

#[test]
fn an_address_that_leads_nowhere_is_told_where_and_why() {
    let told = told("postgres://user@127.0.0.1:1/hookward");
    assert!(told.starts_with("the database `127.0.0.1:1/hookward` cannot be used"), "{told}");
    assert!(told.contains("refused") && told.ends_with("is it running, and is this where it listens?"), "{told}");
}

#[test]
fn what_the_server_refuses_says_what_to_do() {
    let Some((_, database)) = postgres::open() else { return };
    let nowhere = database.address() + "_not";
    let absent = told(&nowhere);
    assert!(absent.contains("does not exist (3D000); create it first"), "{absent}");
    let stranger = told(&(database.address() + " user=nobody_by_this_name"));
    assert!(stranger.contains("\"nobody_by_this_name\" does not exist"), "{stranger}");
    let plain = told(&(database.address() + " sslmode=require"));
    assert!(plain.contains("TLS"), "{plain}");
}
