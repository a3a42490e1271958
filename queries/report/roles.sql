-- title:  Which part of the touches has each role
-- inputs: cells (one row a cell of the report: touches by role, of all orders, of their persons'
--         first and of later ones)
-- output: one row a cell, by its number, with the part of its touches that each role is
with touched as (
    select
        cell,
        alone,
        initiator,
        assisting,
        closer,
        alone + initiator + assisting + closer as contributions,
        acquisition_alone,
        acquisition_initiator,
        acquisition_assisting,
        acquisition_closer,
        acquisition_alone + acquisition_initiator + acquisition_assisting + acquisition_closer as acquisition_contributions
    from cells
)
select
    cell,
    case when contributions > 0 then alone / contributions end as alone_ratio,
    case when contributions > 0 then initiator / contributions end as initiator_ratio,
    case when contributions > 0 then assisting / contributions end as assisting_ratio,
    case when contributions > 0 then closer / contributions end as closer_ratio,
    case when acquisition_contributions > 0 then acquisition_alone / acquisition_contributions end as acquisition_alone_ratio,
    case when acquisition_contributions > 0 then acquisition_initiator / acquisition_contributions end as acquisition_initiator_ratio,
    case when acquisition_contributions > 0 then acquisition_assisting / acquisition_contributions end as acquisition_assisting_ratio,
    case when acquisition_contributions > 0 then acquisition_closer / acquisition_contributions end as acquisition_closer_ratio,
    case when contributions > acquisition_contributions then (alone - acquisition_alone) / (contributions - acquisition_contributions) end as retention_alone_ratio,
    case when contributions > acquisition_contributions then (initiator - acquisition_initiator) / (contributions - acquisition_contributions) end as retention_initiator_ratio,
    case when contributions > acquisition_contributions then (assisting - acquisition_assisting) / (contributions - acquisition_contributions) end as retention_assisting_ratio,
    case when contributions > acquisition_contributions then (closer - acquisition_closer) / (contributions - acquisition_contributions) end as retention_closer_ratio
from touched
order by cell
