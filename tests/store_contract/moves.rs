//! The store's side of moving values between tokens.

use super::*;

/// A move of a value is no change that a client could see: who has read the record before may write it after.
#[test]
fn a_move_refuses_nobody_and_is_not_written_over() {
    let at = |token: &str| {
        let value = object(1, "p").value.unwrap();
        Box::new(TokenReference { token: TokenId(token.to_owned()), ..value })
    };
    let moved = move |from: &str, to: &str| Write::Relocate { object: id(1), from: at(from), to: at(to) };
    on_each(async |store, backend| {
        add(&store, object(1, "p")).await;
        assert_eq!(commit(&store, vec![moved("elsewhere", "there")]).await, Err(StoreError::Conflict));
        commit(&store, vec![moved("simulated", "there")]).await.unwrap();
        assert_eq!(commit(&store, vec![moved("simulated", "there")]).await, Err(StoreError::Conflict));
        let found = store.object(id(1)).await.unwrap().unwrap();
        assert_eq!(
            (found.revision, found.record.value.map(|value| value.token.0)),
            (Revision(1), Some("there".to_owned()))
        );

        // Written with the place that the writer had read.
        commit(&store, vec![put(named(1, "p", &["a"]), Guard::At(Revision(1)))]).await.unwrap();
        for store in [&*store, &reread(&backend)] {
            let found = store.object(id(1)).await.unwrap().unwrap();
            assert_eq!(found.record.value.map(|value| value.token.0), Some("there".to_owned()));
        }

        // Writers and movers at the same time: none is refused.
        let writers = async {
            for revision in 2..40 {
                commit(&store, vec![put(named(1, "p", &["b"]), Guard::At(Revision(revision)))]).await.unwrap();
            }
        };
        let movers = async {
            for round in 0..20 {
                let (from, to) = if round % 2 == 0 { ("there", "here") } else { ("here", "there") };
                commit(&store, vec![moved(from, to)]).await.unwrap();
            }
        };
        tokio::join!(writers, movers);
        let found = reread(&backend).object(id(1)).await.unwrap().unwrap();
        assert_eq!(
            (found.revision, found.record.value.map(|value| value.token.0)),
            (Revision(40), Some("there".to_owned()))
        );

        // What was destroyed meanwhile is not moved.
        let mut gone = object(1, "p");
        gone.value = None;
        commit(&store, vec![put(gone, Guard::At(Revision(40)))]).await.unwrap();
        assert_eq!(commit(&store, vec![moved("there", "here")]).await, Err(StoreError::Conflict));
    });
}
