DROP TABLE journal_events;
