//! Proving again, in a session that goes on, who one is: what is grave asks for it. For how long that counts is decided by
//! whoever lets something grave be done.

use serde_json::json;
use zeroize::Zeroizing;

use super::login::session_token;
use super::users::user_audit;
use super::{AccountError, SignedInAs, Token};
use crate::engine::Engine;
use crate::model::{Principal, User};
use crate::store::{AccountChange, Changed};

/// What a user who is signed in shows once more. Either is something that whoever merely found the session does not have.
#[derive(Debug)]
pub enum Again {
    /// The password.
    Password(Zeroizing<String>),
    /// A code of the second factor, or a recovery code.
    Code(Zeroizing<String>),
}

impl Again {
    fn name(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::Code(_) => "code",
        }
    }
}

impl Engine {
    /// Notes that the user of a session proved again who they are. The session may more from now on, so it goes on under the
    /// new token that this returns: whoever had got hold of the old one has nothing.
    ///
    /// # Errors
    ///
    /// [`AccountError::WrongPassword`]; [`AccountError::WrongCode`], also where there is no second factor;
    /// [`AccountError::TooOften`]; [`AccountError::Engine`].
    pub async fn prove_again(&self, by: &Principal, me: SignedInAs, again: Again) -> Result<Token, AccountError> {
        let user = self.own_user(by, me).await?;
        let shown = again.name();
        let answer = self.take_proof(&user, by, me, again).await;
        if matches!(answer, Err(AccountError::WrongPassword | AccountError::WrongCode)) {
            // Whoever guesses here has a session of the user's: that is worth knowing.
            let detail = json!({ "session": me.session.to_string(), "wrong": shown });
            let audit = user_audit(by, "user.confirm_refused", &user, self.inner().clock().now(), detail);
            self.inner().store().record(vec![audit]).await?;
        }
        answer
    }

    async fn take_proof(
        &self,
        user: &User,
        by: &Principal,
        me: SignedInAs,
        again: Again,
    ) -> Result<Token, AccountError> {
        let shown = again.name();
        let spend = match again {
            Again::Password(password) => {
                self.check_password(user, password, by).await?;
                None
            }
            Again::Code(code) => Some(self.spend_code(user, by, &code).await?.ok_or(AccountError::WrongCode)?),
        };
        let now = self.inner().clock().now();
        let token = session_token(self.inner().entropy());
        let prove = AccountChange::Prove(user.id, me.session, token.digest(), now);
        let changes = spend.into_iter().chain([prove]).collect();
        let detail = json!({ "session": me.session.to_string(), "by": shown });
        let audit = user_audit(by, "user.confirm", user, now, detail);
        match self.inner().store().change_accounts(user.organization, changes, vec![audit]).await? {
            Changed::Done => Ok(token),
            _ => Err(AccountError::WrongCode),
        }
    }
}
