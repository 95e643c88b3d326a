-- An append that changes rows says until when it may: done later than an object's grace, a repeat would bring rows back
-- whose object is deleted. It is undone by WD001, as one whose rows are taken.
create function wadi.in_time(in_by timestamptz) returns boolean
language plpgsql volatile as $$
begin
    if clock_timestamp() > in_by then
        raise exception 'the rows come too late' using errcode = 'WD001';
    end if;
    return true;
end $$;
