//! Keys, users and sessions: the verbs of `Accounts`.

use async_trait::async_trait;

use super::SqlStore;
use super::connection::{Connection, Params, Row, params};
use super::failure::{Failure, Result};
use super::rows::{Cells, all, first};
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::ids::{KeyId, OrganizationId, SessionId, UserId};
use crate::model::{ApiKey, AuditEntry, Digest, Identity, Session, Totp, User};
use crate::store::{AccountChange, Accounts, Changed, Credential, Listing, Page, StoreError};

mod change;

/// What proves itself only counts while its organization is in force.
const IN_FORCE: &str = "organization_id in (select id from organizations where erasing_at_ms is null)";

/// What a verb answers its caller.
type Answer<T> = std::result::Result<T, StoreError>;

const USER: &str = "select users.* from users";

#[async_trait]
impl Accounts for SqlStore {
    async fn key_by_digest(&self, digest: Digest) -> Answer<Option<ApiKey>> {
        self.readers.read(move |connection| key_by_digest(connection, &digest)).await
    }

    async fn session_by_digest(&self, digest: Digest) -> Answer<Option<(Session, User)>> {
        self.readers.read(move |connection| session_by_digest(connection, &digest)).await
    }

    async fn user_by_invitation(&self, digest: Digest, now: Timestamp) -> Answer<Option<User>> {
        self.readers.read(move |connection| user_by_invitation(connection, &digest, now)).await
    }

    async fn user_by_email(&self, organization: OrganizationId, email: &str) -> Answer<Option<User>> {
        let email = email.to_owned();
        self.readers.read(move |connection| user_by_email(connection, organization, &email)).await
    }

    async fn user_by_identity(&self, organization: OrganizationId, who: Identity) -> Answer<Option<User>> {
        self.readers.read(move |connection| user_by_identity(connection, organization, &who)).await
    }

    async fn key(&self, organization: OrganizationId, id: KeyId) -> Answer<ApiKey> {
        self.readers.read(move |connection| key(connection, organization, id)).await
    }

    async fn keys(&self, organization: OrganizationId, page: Page) -> Answer<Listing<ApiKey>> {
        self.readers.read(move |connection| keys(connection, organization, page)).await
    }

    async fn user(&self, organization: OrganizationId, id: UserId) -> Answer<User> {
        self.readers.read(move |connection| user(connection, organization, id)).await
    }

    async fn users(&self, organization: OrganizationId, page: Page) -> Answer<Listing<User>> {
        self.readers.read(move |connection| users(connection, organization, page)).await
    }

    async fn sessions(&self, user: UserId) -> Answer<Vec<Session>> {
        self.readers.read(move |connection| sessions(connection, user)).await
    }

    async fn recovery_codes(&self, user: UserId) -> Answer<u32> {
        self.readers.read(move |connection| recovery_codes(connection, user)).await
    }

    async fn change_accounts(
        &self,
        organization: OrganizationId,
        changes: Vec<AccountChange>,
        audit: Vec<AuditEntry>,
    ) -> Answer<Changed> {
        self.writer.submit(move |tx| change::write(tx, organization, &changes, &audit)).await
    }

    async fn used(&self, uses: Vec<(Credential, Timestamp)>) -> Answer<()> {
        self.writer.submit(move |tx| used(tx, &uses)).await
    }

    async fn forget_sessions(&self, now: Timestamp, seen: Timestamp) -> Answer<()> {
        self.writer.submit(move |tx| forget_sessions(tx, now, seen)).await
    }
}

fn key_by_digest(connection: &Connection, digest: &Digest) -> Result<Option<ApiKey>> {
    first(connection, &format!("select * from api_keys where digest = ?1 and {IN_FORCE}"), [digest], key_row)
}

fn session_by_digest(connection: &Connection, digest: &Digest) -> Result<Option<(Session, User)>> {
    let session = first(connection, "select * from sessions where digest = ?1", [digest], session_row)?;
    let Some(session) = session else { return Ok(None) };
    let sql = format!("{USER} where id = ?1 and {IN_FORCE}");
    Ok(first(connection, &sql, [session.user.as_bytes()], user_row)?.map(|user| (session, user)))
}

fn user_by_invitation(connection: &Connection, digest: &Digest, now: Timestamp) -> Result<Option<User>> {
    let sql = format!(
        "{USER} join user_invitations on user_id = users.id where digest = ?1 and expires_at_ms > ?2 and {IN_FORCE}"
    );
    first(connection, &sql, params![digest, now.as_millis()], user_row)
}

fn user_by_email(connection: &Connection, organization: OrganizationId, email: &str) -> Result<Option<User>> {
    let sql = format!("{USER} where organization_id = ?1 and email = ?2 and {IN_FORCE}");
    first(connection, &sql, params![organization.as_bytes(), email], user_row)
}

fn user_by_identity(connection: &Connection, organization: OrganizationId, who: &Identity) -> Result<Option<User>> {
    let sql = format!(
        "{USER} join user_identities on user_id = users.id
         where user_identities.organization_id = ?1 and issuer = ?2 and subject = ?3 and users.{IN_FORCE}"
    );
    first(connection, &sql, params![organization.as_bytes(), who.issuer, who.subject], user_row)
}

fn key(connection: &Connection, organization: OrganizationId, id: KeyId) -> Result<ApiKey> {
    let sql = "select * from api_keys where id = ?1 and organization_id = ?2";
    let found = first(connection, sql, params![id.as_bytes(), organization.as_bytes()], key_row)?;
    found.ok_or_else(|| Failure::not_found(format!("key `{id}`")))
}

fn user(connection: &Connection, organization: OrganizationId, id: UserId) -> Result<User> {
    let sql = format!("{USER} where id = ?1 and organization_id = ?2");
    let found = first(connection, &sql, params![id.as_bytes(), organization.as_bytes()], user_row)?;
    found.ok_or_else(|| Failure::not_found(format!("user `{id}`")))
}

fn keys(connection: &Connection, organization: OrganizationId, page: Page) -> Result<Listing<ApiKey>> {
    list(connection, "api_keys", organization, page, key_row)
}

fn users(connection: &Connection, organization: OrganizationId, page: Page) -> Result<Listing<User>> {
    list(connection, "users", organization, page, user_row)
}

fn list<T>(
    connection: &Connection,
    table: &'static str,
    organization: OrganizationId,
    page: Page,
    parse: fn(&Row<'_>) -> Result<T>,
) -> Result<Listing<T>> {
    let sql = format!("select * from {table} where organization_id = ?1 and seq < ?2 order by seq desc limit ?3");
    let parameters = params![organization.as_bytes(), page.below(), page.rows()];
    let rows = all(&mut connection.prepare_cached(&sql)?, parameters, |row| {
        Ok((Cells::new(table, row).get("seq")?, parse(row)?))
    })?;
    Ok(page.listing(rows))
}

fn sessions(connection: &Connection, user: UserId) -> Result<Vec<Session>> {
    let sql = "select * from sessions where user_id = ?1 order by id desc";
    all(&mut connection.prepare_cached(sql)?, [user.as_bytes()], session_row)
}

fn recovery_codes(connection: &Connection, user: UserId) -> Result<u32> {
    let sql = "select count(*) as count from recovery_codes where user_id = ?1";
    let left = first(connection, sql, [user.as_bytes()], |row| Cells::new("recovery_codes", row).unsigned("count"))?;
    Ok(left.unwrap_or(0))
}

/// Times only rise: what is noted late does not undo what is known.
fn used(tx: &Tx<'_>, uses: &[(Credential, Timestamp)]) -> Result<()> {
    for (credential, at) in uses {
        let (sql, id) = match credential {
            Credential::Key(id) => (
                "update api_keys set last_used_at_ms = max(coalesce(last_used_at_ms, ?2), ?2) where id = ?1",
                id.as_bytes(),
            ),
            Credential::Session(id) => {
                ("update sessions set last_seen_at_ms = max(last_seen_at_ms, ?2) where id = ?1", id.as_bytes())
            }
        };
        execute(tx, sql, params![id, at.as_millis()])?;
    }
    Ok(())
}

fn forget_sessions(tx: &Tx<'_>, now: Timestamp, seen: Timestamp) -> Result<()> {
    let sql = "delete from sessions where ends_at_ms <= ?1 or last_seen_at_ms <= ?2";
    execute(tx, sql, params![now.as_millis(), seen.as_millis()])?;
    execute(tx, "delete from user_invitations where expires_at_ms <= ?1", [now.as_millis()])?;
    Ok(())
}

fn execute(tx: &Tx<'_>, sql: &str, parameters: impl Params) -> Result<usize> {
    tx.connection.prepare_cached(sql)?.execute(parameters)
}

fn key_row(row: &Row<'_>) -> Result<ApiKey> {
    let cells = Cells::new("api_keys", row);
    Ok(ApiKey {
        id: cells.id("id", KeyId::from_bytes)?,
        organization: cells.id("organization_id", OrganizationId::from_bytes)?,
        name: cells.get("name")?,
        digest: cells.get("digest")?,
        prefix: cells.get("prefix")?,
        last_four: cells.get("last_four")?,
        scopes: cells.json("scopes")?,
        created_by: cells.get("created_by")?,
        created_at: cells.time("created_at_ms")?,
        expires_at: cells.optional_time("expires_at_ms")?,
        last_used_at: cells.optional_time("last_used_at_ms")?,
        revoked_at: cells.optional_time("revoked_at_ms")?,
    })
}

fn user_row(row: &Row<'_>) -> Result<User> {
    let cells = Cells::new("users", row);
    let totp = match cells.get::<Option<String>>("totp_sealed")? {
        None => None,
        Some(_) => Some(Totp {
            sealed: cells.json("totp_sealed")?,
            confirmed_at: cells.optional_time("totp_confirmed_at_ms")?,
        }),
    };
    Ok(User {
        id: cells.id("id", UserId::from_bytes)?,
        organization: cells.id("organization_id", OrganizationId::from_bytes)?,
        email: cells.get("email")?,
        scopes: cells.json("scopes")?,
        password: cells.get("password")?,
        totp,
        created_by: cells.get("created_by")?,
        created_at: cells.time("created_at_ms")?,
        last_login_at: cells.optional_time("last_login_at_ms")?,
        disabled_at: cells.optional_time("disabled_at_ms")?,
    })
}

fn session_row(row: &Row<'_>) -> Result<Session> {
    let cells = Cells::new("sessions", row);
    Ok(Session {
        id: cells.id("id", SessionId::from_bytes)?,
        user: cells.id("user_id", UserId::from_bytes)?,
        digest: cells.get("digest")?,
        address: cells.get("address")?,
        agent: cells.get("agent")?,
        created_at: cells.time("created_at_ms")?,
        proved_at: cells.time("proved_at_ms")?,
        last_seen_at: cells.time("last_seen_at_ms")?,
        ends_at: cells.time("ends_at_ms")?,
    })
}
