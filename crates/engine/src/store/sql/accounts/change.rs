//! Changes to accounts: in their order, all or none of them, each only to what is the organization's.

use super::super::connection::{Bind, Params, Row, params};
use super::{Failure, Result, Tx, execute, first};
use crate::clock::Timestamp;
use crate::ids::{KeyId, OrganizationId, SessionId, UserId};
use crate::kms::Sealed;
use crate::model::{ApiKey, AuditEntry, Digest, Identity, Session, User};
use crate::store::sql::audit;
use crate::store::sql::rows::{Cells, integer, json_text};
use crate::store::{AccountChange, Changed};

/// The most sessions of a user: the oldest gives way.
const SESSIONS_MAX: u32 = 50;

/// Applies changes and appends their audit entries; a condition that does not hold takes back what came before it.
pub(super) fn write(
    tx: &Tx<'_>,
    organization: OrganizationId,
    changes: &[AccountChange],
    audit: &[AuditEntry],
) -> Result<Changed> {
    let connection = tx.connection;
    connection.prepare_cached("savepoint accounts")?.execute([])?;
    let change = Change { tx, organization };
    for one in changes {
        match change.apply(one)? {
            Changed::Done => {}
            refused => {
                connection.prepare_cached("rollback to accounts")?.execute([])?;
                connection.prepare_cached("release accounts")?.execute([])?;
                return Ok(refused);
            }
        }
    }
    connection.prepare_cached("release accounts")?.execute([])?;
    audit::append_all(tx, audit)?;
    Ok(Changed::Done)
}

struct Change<'t, 'c> {
    tx: &'t Tx<'c>,
    organization: OrganizationId,
}

impl Change<'_, '_> {
    fn apply(&self, change: &AccountChange) -> Result<Changed> {
        match change {
            AccountChange::AddKey(key) => self.add_key(key),
            AccountChange::RevokeKey(id, at) => self.revoke_key(*id, *at),
            AccountChange::AddUser(user) => self.add_user(user),
            AccountChange::RemoveUser(user) => {
                let sql = "delete from users where id = ?1 and organization_id = ?2";
                self.must(sql, params![user.as_bytes(), self.organization.as_bytes()], || format!("user `{user}`"))
            }
            AccountChange::SetScopes(user, scopes) => {
                self.user(*user, "update users set scopes = ?3 where", json_text(scopes))
            }
            AccountChange::SetDisabled(user, at) => {
                let at = at.map(Timestamp::as_millis);
                self.user(*user, "update users set disabled_at_ms = ?3 where", at)
            }
            AccountChange::SetPassword(user, password) => {
                self.user(*user, "update users set password = ?3 where", password)
            }
            AccountChange::LoggedIn(user, at) => {
                self.user(*user, "update users set last_login_at_ms = ?3 where", at.as_millis())
            }
            AccountChange::SetTotp(user, sealed) => self.set_totp(*user, sealed.as_ref()),
            AccountChange::ConfirmTotp(user, at) => {
                self.user(*user, "update users set totp_confirmed_at_ms = ?3 where", at.as_millis())
            }
            AccountChange::UseTotpStep(user, step) => {
                let sql = "update users set totp_step = ?2 where id = ?1 and totp_step < ?2";
                self.once(sql, params![user.as_bytes(), integer(*step)])
            }
            AccountChange::AddIdentity(user, who) => self.add_identity(*user, who),
            AccountChange::Invite(user, digest, expires_at) => {
                let sql = "insert into user_invitations (user_id, digest, expires_at_ms) values (?1, ?2, ?3)
                           on conflict (user_id) do update set digest = ?2, expires_at_ms = ?3";
                execute(self.tx, sql, params![user.as_bytes(), digest, expires_at.as_millis()])?;
                Ok(Changed::Done)
            }
            AccountChange::SpendInvitation(user, digest, at) => {
                let sql = "delete from user_invitations where user_id = ?1 and digest = ?2 and expires_at_ms > ?3";
                self.once(sql, params![user.as_bytes(), digest, at.as_millis()])
            }
            AccountChange::SetRecoveryCodes(user, codes) => self.set_recovery_codes(*user, codes),
            AccountChange::SpendRecoveryCode(user, digest) => self.once(
                "delete from recovery_codes where user_id = ?1 and digest = ?2",
                params![user.as_bytes(), digest],
            ),
            AccountChange::AddSession(session) => self.add_session(session),
            AccountChange::EndSession(user, id) => {
                let sql = "delete from sessions where user_id = ?1 and id = ?2";
                self.must(sql, params![user.as_bytes(), id.as_bytes()], || format!("session `{id}`"))
            }
            AccountChange::EndSessions(user, except) => {
                let sql = "delete from sessions where user_id = ?1 and id <> coalesce(?2, x'')";
                let except = except.as_ref().map(|id| *id.as_bytes());
                execute(self.tx, sql, params![user.as_bytes(), except])?;
                Ok(Changed::Done)
            }
            AccountChange::Prove(user, session, digest, at) => self.prove(*user, *session, digest, *at),
            AccountChange::KeepAnAdmin(now) => {
                Ok(if self.has_an_admin(*now)? { Changed::Done } else { Changed::LastAdmin })
            }
            AccountChange::NeedsAnAdmin(now) => {
                Ok(if self.has_an_admin(*now)? { Changed::Taken } else { Changed::Done })
            }
            AccountChange::NoUser => Ok(if self.has_a_user()? { Changed::Taken } else { Changed::Done }),
        }
    }

    fn add_key(&self, key: &ApiKey) -> Result<Changed> {
        let sql = "insert into api_keys (id, organization_id, name, digest, prefix, last_four, scopes, created_by,
                       created_at_ms, expires_at_ms) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                   on conflict do nothing";
        let row = params![
            key.id.as_bytes(),
            self.organization.as_bytes(),
            key.name,
            key.digest,
            key.prefix,
            key.last_four,
            json_text(&key.scopes),
            key.created_by,
            key.created_at.as_millis(),
            key.expires_at.map(Timestamp::as_millis),
        ];
        self.free(sql, row)
    }

    fn revoke_key(&self, id: KeyId, at: Timestamp) -> Result<Changed> {
        let sql =
            "update api_keys set revoked_at_ms = coalesce(revoked_at_ms, ?3) where id = ?1 and organization_id = ?2";
        let parameters = params![id.as_bytes(), self.organization.as_bytes(), at.as_millis()];
        self.must(sql, parameters, || format!("key `{id}`"))
    }

    fn set_totp(&self, user: UserId, sealed: Option<&Sealed>) -> Result<Changed> {
        execute(self.tx, "delete from recovery_codes where user_id = ?1", [user.as_bytes()])?;
        let sql = "update users set totp_sealed = ?3, totp_confirmed_at_ms = null where";
        self.user(user, sql, sealed.map(json_text))
    }

    fn add_user(&self, user: &User) -> Result<Changed> {
        let sql = "insert into users (id, organization_id, email, scopes, password, created_by, created_at_ms)
                   values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict do nothing";
        let row = params![
            user.id.as_bytes(),
            self.organization.as_bytes(),
            user.email,
            json_text(&user.scopes),
            user.password,
            user.created_by,
            user.created_at.as_millis(),
        ];
        self.free(sql, row)
    }

    fn add_session(&self, session: &Session) -> Result<Changed> {
        let sql =
            "insert into sessions (id, user_id, digest, address, agent, created_at_ms, proved_at_ms, last_seen_at_ms,
                   ends_at_ms) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let row = params![
            session.id.as_bytes(),
            session.user.as_bytes(),
            session.digest,
            session.address,
            session.agent,
            session.created_at.as_millis(),
            session.proved_at.as_millis(),
            session.last_seen_at.as_millis(),
            session.ends_at.as_millis(),
        ];
        execute(self.tx, sql, row)?;
        let sql = "delete from sessions where user_id = ?1
                   and id not in (select id from sessions where user_id = ?1 order by id desc limit ?2)";
        execute(self.tx, sql, params![session.user.as_bytes(), SESSIONS_MAX])?;
        Ok(Changed::Done)
    }

    fn add_identity(&self, user: UserId, who: &Identity) -> Result<Changed> {
        let sql = "insert into user_identities (organization_id, issuer, subject, user_id)
                   values (?1, ?2, ?3, ?4) on conflict do nothing";
        self.free(sql, params![self.organization.as_bytes(), who.issuer, who.subject, user.as_bytes()])
    }

    fn prove(&self, user: UserId, session: SessionId, digest: &Digest, at: Timestamp) -> Result<Changed> {
        let sql = "update sessions set proved_at_ms = ?3, digest = ?4 where id = ?1 and user_id = ?2";
        let parameters = params![session.as_bytes(), user.as_bytes(), at.as_millis(), digest];
        self.must(sql, parameters, || format!("session `{session}`"))
    }

    fn set_recovery_codes(&self, user: UserId, codes: &[Digest]) -> Result<Changed> {
        execute(self.tx, "delete from recovery_codes where user_id = ?1", [user.as_bytes()])?;
        for digest in codes {
            let sql = "insert into recovery_codes (user_id, digest) values (?1, ?2)";
            execute(self.tx, sql, params![user.as_bytes(), digest])?;
        }
        Ok(Changed::Done)
    }

    fn has_an_admin(&self, now: Timestamp) -> Result<bool> {
        // `scopes` is a list of names, none of which is a part of another with its quotes.
        let sql = "select exists (select 1 from api_keys where organization_id = ?1
                       and revoked_at_ms is null and (expires_at_ms is null or expires_at_ms > ?2)
                       and scopes like '%\"admin\"%')
                   or exists (select 1 from users where organization_id = ?1
                       and disabled_at_ms is null and scopes like '%\"admin\"%' and (password is not null
                           or exists (select 1 from user_identities where user_id = users.id))) as kept";
        let parameters = params![self.organization.as_bytes(), now.as_millis()];
        let kept = first(self.tx.connection, sql, parameters, |row| Cells::new("users", row).get::<bool>("kept"))?;
        Ok(kept == Some(true))
    }

    fn has_a_user(&self) -> Result<bool> {
        let sql = "select exists (select 1 from users where organization_id = ?1) as has";
        let has = |row: &Row<'_>| Cells::new("users", row).get::<bool>("has");
        Ok(first(self.tx.connection, sql, [self.organization.as_bytes()], has)? == Some(true))
    }

    /// Runs `sql`, which ends in `where`, on one user of the organization; `?3` is `value`.
    fn user(&self, user: UserId, sql: &str, value: impl Bind) -> Result<Changed> {
        let sql = format!("{sql} id = ?1 and organization_id = ?2");
        self.must(&sql, params![user.as_bytes(), self.organization.as_bytes(), value], || format!("user `{user}`"))
    }

    /// There has to be such a row.
    fn must(&self, sql: &str, parameters: impl Params, what: impl Fn() -> String) -> Result<Changed> {
        match execute(self.tx, sql, parameters)? {
            0 => Err(Failure::not_found(what())),
            _ => Ok(Changed::Done),
        }
    }

    /// There may be no such row yet.
    fn free(&self, sql: &str, parameters: impl Params) -> Result<Changed> {
        Ok(if execute(self.tx, sql, parameters)? == 0 { Changed::Taken } else { Changed::Done })
    }

    /// What is there only once.
    fn once(&self, sql: &str, parameters: impl Params) -> Result<Changed> {
        Ok(if execute(self.tx, sql, parameters)? == 0 { Changed::Spent } else { Changed::Done })
    }
}
