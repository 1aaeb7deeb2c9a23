//! What holds for a question of somebody's: the model profile that was named, or else the one that they like, and over it
//! their own words and voice. Reads records and decides between them; asks nobody.

use crate::common::who::Principal;
use crate::store::{DEFAULT_PROFILE, ModelProfile, ReadError, Snapshot, UserProfile};

/// The model profile for a question, with what the user likes laid over it; or the name of the one that is not there.
pub fn profile_for(
    store: &Snapshot,
    who: &Principal,
    named: Option<&str>,
) -> Result<Result<ModelProfile, String>, ReadError> {
    let liked = store.get::<UserProfile>(&who.user)?.unwrap_or_default();
    let name = named.or(liked.model_profile.as_deref()).unwrap_or(DEFAULT_PROFILE);
    let profile = match store.get::<ModelProfile>(name)? {
        None if named.is_none() && name != DEFAULT_PROFILE => {
            tracing::warn!(
                user = &*who.user,
                profile = name,
                "a user's model profile is gone; the default one answers"
            );
            store.get::<ModelProfile>(DEFAULT_PROFILE)?
        }
        found => found,
    };
    let Some(profile) = profile else { return Ok(Err(name.to_owned())) };
    Ok(Ok(ModelProfile {
        system_prompt: joined(profile.system_prompt, liked.system_prompt),
        voice: liked.voice.or(profile.voice),
        ..profile
    }))
}

/// The house's words first, the user's after them.
fn joined(first: Option<String>, second: Option<String>) -> Option<String> {
    let there = |text: &String| !text.trim().is_empty();
    match (first.filter(there), second.filter(there)) {
        (Some(first), Some(second)) => Some(format!("{first}\n\n{second}")),
        (first, second) => first.or(second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::who::{Door, Role};
    use crate::store::Store;

    #[tokio::test]
    async fn the_named_profile_comes_first_and_the_users_words_come_last() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        let words = |text: &str| Some(text.to_owned());
        for (name, prompt) in [("default", "Be brief."), ("evening", "Be calm.")] {
            let profile =
                ModelProfile { system_prompt: words(prompt), voice: words("espeak"), ..ModelProfile::new(name) };
            store.put(profile, None).await.expect("sound");
        }
        let liked = UserProfile {
            user: "ann".into(),
            model_profile: words("evening"),
            system_prompt: words("Say du."),
            voice: words("openai/nova"),
            ..UserProfile::default()
        };
        store.put(liked.clone(), None).await.expect("sound");
        store
            .put(UserProfile { user: "ben".into(), model_profile: words("gone"), ..liked }, None)
            .await
            .expect("sound");
        let of = |user: &str, named: Option<&str>| {
            let who = Principal::new(user, Role::Member, Door::Websocket);
            let found = profile_for(&store.snapshot().expect("open"), &who, named).expect("readable");
            found.map(|profile| {
                (profile.name, profile.system_prompt.unwrap_or_default(), profile.voice.unwrap_or_default())
            })
        };
        let is = |name: &str, prompt: &str, voice: &str| Ok((name.to_owned(), prompt.to_owned(), voice.to_owned()));
        assert_eq!(of("ann", None), is("evening", "Be calm.\n\nSay du.", "openai/nova"));
        assert_eq!(of("ann", Some("default")), is("default", "Be brief.\n\nSay du.", "openai/nova"));
        assert_eq!(
            of("ben", None),
            is("default", "Be brief.\n\nSay du.", "openai/nova"),
            "one that is gone holds nobody up"
        );
        assert_eq!(of("cy", None), is("default", "Be brief.", "espeak"));
        assert_eq!(of("cy", Some("gone")), Err("gone".to_owned()), "who names one means it");
        assert!(store.close().await);
    }
}
