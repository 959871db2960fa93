create table payment (
    order_id text primary key,
    customer_id text,
    cents integer not null,
    state text not null check (state in ('due', 'captured', 'declined', 'void', 'refunding', 'refunded'))
) strict;

create table ledger (
    entry integer primary key,
    kind text not null check (kind in ('capture', 'refund', 'return')),
    subject text not null,
    cents integer not null,
    unique (kind, subject)
) strict;
