//! What changes a record without giving it a revision: a value that moves between tokens, and the counting of uses.

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

/// Counting refuses nobody who works on several records, is not written over, and loses nothing.
#[test]
fn counting_uses_refuses_nobody_and_loses_nothing() {
    const ROUNDS: u64 = 60;
    let counted = |number: u64, count| {
        let uses = vec![(AttributeKind::EncryptCounter, count), (AttributeKind::SignCounter, 1)];
        Write::CountUses { object: id(number), uses }
    };
    on_each(async |store, backend| {
        assert_eq!(commit(&store, vec![counted(1, 1)]).await, Err(StoreError::Conflict), "there is none");
        add(&store, object(1, "p")).await;
        add(&store, object(2, "p")).await;
        // What is written was read before the counting, and two records go together.
        let writers = async {
            for revision in 1..=ROUNDS {
                let names = [format!("a{revision}"), format!("b{revision}")];
                let both = vec![
                    put(named(1, "p", &[&names[0]]), Guard::At(Revision(revision))),
                    put(named(2, "p", &[&names[1]]), Guard::At(Revision(revision))),
                    put(object(100 + revision, "p"), Guard::Absent),
                ];
                commit(&store, both).await.unwrap();
            }
        };
        let counter = async |number| {
            for _ in 0..ROUNDS {
                commit(&store, vec![counted(number, 2)]).await.unwrap();
            }
        };
        tokio::join!(writers, counter(1), counter(2), counter(1));
        for (number, rounds) in [(1, 2 * ROUNDS), (2, ROUNDS)] {
            let found = reread(&backend).object(id(number)).await.unwrap().unwrap();
            assert_eq!(found.revision, Revision(ROUNDS + 1));
            let rounds = i64::try_from(rounds).unwrap();
            let uses = [AttributeKind::EncryptCounter, AttributeKind::SignCounter].map(|kind| found.record.uses(&kind));
            assert_eq!(uses, [2 * rounds, rounds]);
            assert!(found.record.names().next().is_some(), "what was written is there, too");
        }
    });
}
