-- A node is not given to another agent while clients may look for the one before:
-- begin_term asks for the terms that ended last.
create index terms_ended on terms (ended_at) where ended_at is not null;
