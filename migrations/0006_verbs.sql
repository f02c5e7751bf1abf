-- A verb is told once: an agent that never heard that it was stored sends it again.
create index history_verbs on history ((evidence->>'verb')) where kind in ('LocalVerb', 'LocalVerbHeld');
