-- Health of a ModelDeployment for Argo CD, from the conditions that kstatus reads. At zero by policy is healthy.
-- Argo CD opens no string library for scripts of a ConfigMap.
if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "The model is being deleted"}
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not seen this version of the model yet"}
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local function health(type, status)
  local condition = conditions[type]
  if condition ~= nil and condition.status == "True" then
    return {status = status, message = condition.message}
  end
end

local waiting = conditions.Ready or {message = "The operator has not reported on the model yet"}
return health("Reconciling", "Progressing")
  or health("Stalled", "Degraded")
  or health("Ready", "Healthy")
  or {status = "Progressing", message = waiting.message}
