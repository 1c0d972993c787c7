//! What a page says of the form that led to it. Its address holds only which of these sentences it is, so that nobody can
//! write one for us.

use serde::Deserialize;

macro_rules! notices {
    ($($name:ident $code:literal $says:literal;)*) => {
        /// Which sentence. One that is not known is none.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub(super) enum Notice {
            $(#[serde(rename = $code)] $name,)*
            #[serde(other)]
            Unknown,
        }

        impl Notice {
            /// As an address says it.
            pub(super) fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                    Self::Unknown => "",
                }
            }

            /// As a page says it.
            pub(super) fn says(self) -> &'static str {
                match self {
                    $(Self::$name => $says,)*
                    Self::Unknown => "",
                }
            }
        }
    };
}

notices! {
    Redelivered "redelivered" "It is owed again: see the new delivery.";
    Cancelled "cancelled" "What was outstanding is cancelled.";
    BeingCancelled "being-cancelled" "The attempt under way was told to end; then the delivery is cancelled.";
    NothingToCancel "nothing-to-cancel" "Nothing of that was outstanding.";
    SignedOut "signed-out" "You are signed out.";
    SecretRotated "secret-rotated" "There is a new secret. Reveal it below, and give it to the other side.";
    SecretSet "secret-set" "The secret is set.";
    SecretRevoked "secret-revoked" "That version works no more.";
    Made "made" "It is in force.";
    Changed "changed" "The change is in force.";
    CredentialsDropped "credentials-dropped" "The change is in force. Stored credentials were not taken along to the new address: give them again if they are meant for there.";
    Removed "removed" "It is removed. What it brought is kept.";
    Paused "paused" "Paused. What comes for it is held.";
    Resumed "resumed" "Resumed.";
    Dropped "dropped" "Resumed. What was held is cancelled.";
    Recovering "recovering" "Recovery has begun: its events are delivered again, step by step.";
    FirstUser "first-user" "Welcome: you are the first user, and may do everything.";
    NoExample "no-example" "Welcome: you are the first user. The example could not be made; the log says why.";
    HasAUser "has-a-user" "There is a user already: ask them for an invitation.";
    PasswordSet "password-set" "Your password is set: sign in with it.";
    PasswordChanged "password-changed" "Your password is changed; your other sessions have ended.";
    OwnPasswordSet "own-password-set" "You have a password; your other sessions have ended.";
    SecretEndMoved "secret-end-moved" "The end is moved.";
    SessionEnded "session-ended" "The session has ended.";
    SessionsEnded "sessions-ended" "Your other sessions have ended.";
    SecondFactorRemoved "second-factor-removed" "There is no second factor any more.";
    UserChanged "user-changed" "The user may do that from now on.";
    UserDisabled "user-disabled" "The user is disabled, and signed out everywhere.";
    UserEnabled "user-enabled" "The user may sign in again.";
    UserRemoved "user-removed" "The user is removed.";
    KeyRevoked "key-revoked" "The key is revoked: it is refused from now on.";
}

/// The part of a page's query that is a notice.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Noticed {
    #[serde(default)]
    pub(super) notice: Option<Notice>,
}
