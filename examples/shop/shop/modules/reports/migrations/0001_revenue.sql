create table revenue (
    the_one integer primary key check (the_one = 1),
    orders integer not null default 0,
    units integer not null default 0,
    revenue_cents integer not null default 0,
    returned_units integer not null default 0,
    refunded_cents integer not null default 0
) strict;
