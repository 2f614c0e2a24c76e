//! Statements with a text of our own that never changes, so that a connection prepares each once.
//! Diesel prepares anew what it cannot be sure of: each `update`, each piece of SQL in a query of
//! its own, and each query for both databases at once.

/// Has a connection run and remember statements that implement `QueryFragment`. Each is named with
/// the type that stands for its text: itself, with every lifetime `'static`.
macro_rules! prepared_once {
    ($connection:ty: $($statement:ty => $text:ty),+ $(,)?) => {
        $(
            impl diesel::query_builder::QueryId for $statement {
                type QueryId = $text;
                const HAS_STATIC_QUERY_ID: bool = true;
            }

            impl diesel::RunQueryDsl<$connection> for $statement {}
        )+
    };
}

pub(crate) use prepared_once;
