{{- define "jupyterhub.labels" -}}
app.kubernetes.io/name: {{ .chart.Chart.Name }}
app.kubernetes.io/instance: {{ .chart.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/managed-by: {{ .chart.Release.Service }}
component: {{ .component }}
{{- end }}

{{- /* Pods of one component, as policies and Services find them. */}}
{{- define "jupyterhub.selector" -}}
app.kubernetes.io/name: {{ .chart.Chart.Name }}
app.kubernetes.io/instance: {{ .chart.Release.Name }}
component: {{ .component }}
{{- end }}

{{- define "jupyterhub.token" -}}
{{- $made := lookup "v1" "Secret" .Release.Namespace "hub" | default dict }}
{{- $key := "hub.config.ConfigurableHTTPProxy.auth_token" }}
{{- if hasKey ($made.data | default dict) $key }}
{{- index $made.data $key }}
{{- else }}
{{- randAlphaNum 64 | b64enc }}
{{- end }}
{{- end }}

{{- /* Who may reach a component, and whom it may reach beside what its template says. */}}
{{- define "jupyterhub.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .chart.Release.Namespace }}
  labels:
    {{- include "jupyterhub.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "jupyterhub.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- range $port, $label := .ingress }}
    - ports:
        - port: {{ $port }}
      from:
        - podSelector:
            matchLabels:
              hub.jupyter.org/network-access-{{ $label }}: "true"
    {{- end }}
    {{- with .policy.ingress }}{{ toYaml . | nindent 4 }}{{ end }}
  egress:
    {{- $chart := .chart }}
    {{- range .egress }}
    - ports:
        - port: {{ .port }}
      to:
        - podSelector:
            matchLabels:
              {{- include "jupyterhub.selector" (dict "chart" $chart "component" .to) | nindent 14 }}
    {{- end }}
    {{- with .policy.egress }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}
